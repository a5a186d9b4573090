//! Admit, dial, watch and reconcile: from a due record to a ringing phone.
