//! TODO-api
