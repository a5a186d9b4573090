//! The client against a scripted server: what each failure of a request is taken to mean.
