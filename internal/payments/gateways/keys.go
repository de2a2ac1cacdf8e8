package gateways

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const minRSABits = 2048

// parsePrivateKey reads PEM, or the bare base64 that Alipay's tool writes; PKCS #8 or PKCS #1.
func parsePrivateKey(text string) (*rsa.PrivateKey, error) {
	der, _, err := derOf(text)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return longEnough(key, key.N.BitLen())
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("not a private key in PEM or base64") // x509 would quote parts of it
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return longEnough(rsaKey, rsaKey.N.BitLen())
}

// parsePublicKey reads a public key or a certificate, in PEM or bare base64. serial is the certificate's, as WeChat Pay
// writes it: hex in upper case.
func parsePublicKey(text string) (key *rsa.PublicKey, serial string, err error) {
	der, kind, err := derOf(text)
	if err != nil {
		return nil, "", err
	}
	if kind == "CERTIFICATE" {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, "", fmt.Errorf("not a certificate: %w", err)
		}
		key, ok := certificate.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, "", errors.New("not a certificate of an RSA key")
		}
		key, err = longEnough(key, key.N.BitLen())
		return key, strings.ToUpper(fmt.Sprintf("%x", certificate.SerialNumber)), err
	}
	if key, err = x509.ParsePKCS1PublicKey(der); err == nil {
		key, err = longEnough(key, key.N.BitLen())
		return key, "", err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, "", errors.New("not a public key or certificate in PEM or base64")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, "", errors.New("not an RSA key")
	}
	key, err = longEnough(key, key.N.BitLen())
	return key, "", err
}

func longEnough[K any](key K, bits int) (K, error) {
	if bits < minRSABits {
		return key, fmt.Errorf("an RSA key of %d bits: %d are the least", bits, minRSABits)
	}
	return key, nil
}

func derOf(text string) (der []byte, kind string, err error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		return block.Bytes, block.Type, nil
	}
	der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, "", errors.New("neither PEM nor base64")
	}
	return der, "", nil
}

func signRSA(key *rsa.PrivateKey, text string) (string, error) {
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return base64.StdEncoding.EncodeToString(signature), err
}

func verifyRSA(key *rsa.PublicKey, text, signature string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) == nil
}
