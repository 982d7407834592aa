"""What is said: wire and file formats, conversations.

Pure: bytes in, values out. No socket, file, clock or thread anywhere but under ``tx/``.
"""
