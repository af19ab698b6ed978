//! TODO-contract
