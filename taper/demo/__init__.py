"""The demonstration: a small driver, a real taper, real files, written, spanned and restored."""
