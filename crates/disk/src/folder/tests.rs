//! What the operating system adds to the contract: links, pipes, modes, non-UTF-8 names.
