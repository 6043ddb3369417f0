"""The API's calls of this app: join requests and invitations; service requests, sessions and mechanics."""
