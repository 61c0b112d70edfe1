# Install rules; completed by the package files.
