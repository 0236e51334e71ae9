"""hypersdkd takes virtual machines off other hypervisors and makes them run on KVM."""

__version__ = "0.1.0"
