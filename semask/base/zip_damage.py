"""What zipfile raises for a damaged archive, as tests with damaged bytes found."""

import struct
import zipfile
import zlib

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error,
          OverflowError, RuntimeError)  # fmt: skip
