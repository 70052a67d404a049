"""Configs: read once, checked as a whole, faults told as sentences."""
