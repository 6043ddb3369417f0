"""The admin, on our own site class (config.admin), and config itself."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class AdminConfig(DjangoAdminConfig):
    default_site = "config.admin.AdminSite"


class ProjectConfig(AppConfig):
    """No models: config is an app for the sake of its commands."""

    name = "config"
