//! Makes the provider that a store's spec describes.
