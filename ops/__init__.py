"""Keeping it running: systemd units and notifications, installation, the doctor.

May read settings and the lake; nothing of the trade is decided here.
"""
