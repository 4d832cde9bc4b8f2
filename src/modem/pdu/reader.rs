//! Octets, one after the other, and no further than there are any.

use super::DecodeError;

pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { left: octets }
    }

    pub(super) fn octet(&mut self) -> Result<u8, DecodeError> {
        let (first, left) = self.left.split_first().ok_or(DecodeError::Short)?;
        self.left = left;
        Ok(*first)
    }

    pub(super) fn octets(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (first, left) = self.left.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.left = left;
        Ok(first)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, left) = self.left.split_first_chunk().ok_or(DecodeError::Short)?;
        self.left = left;
        Ok(*first)
    }
}
