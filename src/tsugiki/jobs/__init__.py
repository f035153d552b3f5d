"""Work that outlives a request: adaptations in the fast lane, and exports."""
