"""The board: what waits, what is in progress, what was done today."""

from django.contrib import admin
from django.shortcuts import render
from django.urls import path

from config.admin import DomainAdmin, ReadOnly

from ..models import SessionRequest


@admin.register(SessionRequest)
class SessionRequestAdmin(ReadOnly, DomainAdmin):
    def get_urls(self):
        board = path("board/", self.admin_site.admin_view(self.board_view), name=self._route("board"))
        return [board, *super().get_urls()]

    def board_view(self, request):
        return render(request, "admin/service_board.html", self.admin_site.each_context(request))
