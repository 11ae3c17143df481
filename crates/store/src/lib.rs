//! coppice-store
