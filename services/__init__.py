"""One package per service, one process per service. They meet on subjects and never import each other."""
