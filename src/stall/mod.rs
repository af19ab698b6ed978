//! Ends an answer that has gone silent.
