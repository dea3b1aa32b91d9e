"""What the Kubernetes driver stands on: the API of a cluster. No driver yet: clones live on this machine."""
