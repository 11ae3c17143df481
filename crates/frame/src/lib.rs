//! coppice-frame
