"""``python -m hypersdkd`` starts the daemon."""

from hypersdkd.daemon import main

if __name__ == "__main__":
    raise SystemExit(main())
