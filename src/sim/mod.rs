//! The simulated outside world, over real HTTP. Imports `base` alone and has wire types of its own.
