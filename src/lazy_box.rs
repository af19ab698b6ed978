//! A value that most calls never have.

use std::fmt;
use std::pin::Pin;

/// Stands in memory of its own and is dropped out of line, so that it is little to carry, and that little
/// is to be done where it is not there: every call drops what holds one.
pub(crate) struct LazyBox<T>(Option<Pin<Box<T>>>);

impl<T> LazyBox<T> {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn new(value: T) -> Self {
        Self(Some(Box::pin(value)))
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub(crate) fn as_pin_mut(&mut self) -> Option<Pin<&mut T>> {
        self.0.as_mut().map(Pin::as_mut)
    }

    pub(crate) fn get_or_insert_with(&mut self, make: impl FnOnce() -> T) -> Pin<&mut T> {
        self.0.get_or_insert_with(|| Box::pin(make())).as_mut()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T>
    where
        T: Unpin,
    {
        self.as_pin_mut().map(Pin::get_mut)
    }

    pub(crate) fn take(&mut self) -> Option<T>
    where
        T: Unpin,
    {
        self.0.take().map(|value| *Pin::into_inner(value))
    }
}

impl<T> Drop for LazyBox<T> {
    #[inline]
    fn drop(&mut self) {
        // what is not there is not taken either
        if self.0.is_some() {
            let_go(self.0.take());
        }
    }
}

#[cold]
#[inline(never)]
fn let_go<T>(_: T) {}

impl<T: fmt::Debug> fmt::Debug for LazyBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_there_is_dropped_once() {
        let probe = Arc::new(());
        let mut rare = LazyBox::NONE;
        assert!(rare.is_none() && rare.take().is_none());
        rare.get_or_insert_with(|| probe.clone());
        assert_eq!(Arc::strong_count(&probe), 2);
        drop(rare.take());
        assert_eq!(Arc::strong_count(&probe), 1);
        drop(LazyBox::new(probe.clone()));
        assert_eq!(Arc::strong_count(&probe), 1);
    }
}
