"""What outlives the process: rows in a database, bytes in blobs. The words are those of `tsugiki.domain`."""
