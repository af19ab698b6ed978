//! TODO-props
