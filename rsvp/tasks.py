"""Telling people, and the sweeps: doors to operations, nothing more."""

from celery import shared_task

from config.tasks import Persistent

from .operations import line, telling


@shared_task(base=Persistent)
def tell_offers():
    """Started by whoever offers a seat, and each minute for what was lost or failed."""
    telling.tell_offers()


@shared_task(base=Persistent)
def tell_changes():
    """Started where a session is cancelled or restored, and each minute for every other change."""
    telling.tell_changes()


@shared_task(base=Persistent)
def remind():
    telling.remind()


@shared_task
def catch_up():
    line.catch_up()
