"""What deploy/ runs beside the services in a cluster, and the secrets it stands on."""
