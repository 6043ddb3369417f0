"""Sending and its sweeps: doors to operations, nothing more."""

from celery import shared_task

from config import health

from .operations import door_notices, letters, links, sending


@shared_task
def heartbeat():
    """Tells /readyz that a worker takes the queue of messages."""
    health.beat("messages")


@shared_task
def fan_out(message_id):
    """A message's deliveries are made; the channels' own tasks send them."""
    sending.fan_out(message_id=message_id)


@shared_task
def run(channel):
    sending.run(channel=channel)


@shared_task
def sweep():
    sending.sweep()


@shared_task
def find_guests():
    """People who verified before their guest was listed by raw SQL."""
    links.find()


@shared_task
def send_letters():
    """Letters about accounts: started by whoever writes one, and each minute for what was lost or failed."""
    letters.send()


@shared_task
def tell_of_the_door():
    door_notices.tell()
