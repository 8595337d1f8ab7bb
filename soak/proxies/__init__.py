"""Servers behind real proxies: Envoy, nginx and HAProxy with the files of deploy/."""
