//! Sends a second request beside one that takes long.
