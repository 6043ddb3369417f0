"""The inbox of the app: a delivery is there as soon as it is in the database."""

from .base import Channel


class InApp(Channel):
    name = "in_app"
    honours_key = True

    def deliver(self, parcels):
        raise AssertionError("What is for the inbox is never handed to a worker.")
