//! Percentiles of the latencies of late.
