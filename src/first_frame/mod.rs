//! Holds an answer back until its first frame is there.
