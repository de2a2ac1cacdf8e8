// Package browser looks at the buyer's page as a buyer does: the real binary, and Chromium without a window. The tests
// are skipped where no browser is installed. With VENDBOX_SCREENSHOTS set to a directory they leave the pictures of
// docs/images there.
package browser
