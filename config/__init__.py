"""How the site is put together; no domain in here.

Our app ``requests`` has the name of a well-known HTTP library. Django REST framework imports
that library if it is there, and would take our app for it; so the one module that asks is told
at once that there is none. (HTTP calls out of Turnout are made with httpx.)
"""

import rest_framework.compat

rest_framework.compat.requests = None
