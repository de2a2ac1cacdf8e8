// Package access knows who may do what through the API: the keys, their scopes and who a request comes from.
//
// A key is shown once, at its creation, as vb_<prefix>_<secret>. The prefix finds its row and names it in logs; of the
// secret only a SHA-256 is kept. It is 160 random bits, so there is nothing to guess and no need for a slow hash.
package access
