"""How the tests hash passwords."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """The site's own, at a thousandth of its cost; the site's checks what this one made."""

    iterations = 1_000
