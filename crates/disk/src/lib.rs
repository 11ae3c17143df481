//! coppice-disk
