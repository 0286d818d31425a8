//! One broker stands before each [`Provider`], and is all that consumers see of it.
