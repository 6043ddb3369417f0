"""Telling people, and the sweeps: doors to operations, nothing more."""

from celery import shared_task

from .operations import line, telling


@shared_task
def tell_offers():
    telling.tell_offers()


@shared_task
def catch_up():
    line.catch_up()
