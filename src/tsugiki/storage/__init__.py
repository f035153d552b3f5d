"""What outlives the process: rows in a database, bytes in blobs. The words are those of `tsugiki.domain`."""

FILE_NAME = "tsugiki.db"  # the database's in a home, where no server has the rows
