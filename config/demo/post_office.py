from config.post_office import Fault, PostOffice

__all__ = ["Fault", "PostOffice"]
