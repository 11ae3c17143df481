//! coppice-journal
