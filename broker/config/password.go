package config

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"unicode/utf16"
)

// PasswordEncoder encrypts the passwords of dynamic settings as Kafka does: what one of the two wrote, the other reads. Its zero value
// lacks a secret and refuses.
type PasswordEncoder struct {
	Secret string
	// Cipher is AES/CBC/PKCS5Padding or AES/GCM/NoPadding, KeyFactory PBKDF2WithHmacSHA1, 224, 256, 384 or 512.
	Cipher, KeyFactory string
	KeyBits            int
	Iterations         int
}

const (
	cipherCBC         = "AES/CBC/PKCS5Padding"
	cipherGCM         = "AES/GCM/NoPadding"
	defaultKeyFactory = "PBKDF2WithHmacSHA512"
	passwordSaltBytes = 256
)

var keyFactories = map[string]func() hash.Hash{
	"PBKDF2WithHmacSHA1": sha1.New, "PBKDF2WithHmacSHA224": sha256.New224, "PBKDF2WithHmacSHA256": sha256.New,
	"PBKDF2WithHmacSHA384": sha512.New384, "PBKDF2WithHmacSHA512": sha512.New,
}

// ErrNoSecret is a password without a secret to encrypt it with. Its text is Kafka's.
var ErrNoSecret = errors.New("Password encoder secret not configured") // the text that clients know

// NewPasswordEncoder makes an encoder from password.encoder.* keys; what is not given has Kafka's default.
func NewPasswordEncoder(props map[string]string) (PasswordEncoder, error) {
	e := PasswordEncoder{Secret: props["password.encoder.secret"], Cipher: cipherCBC, KeyFactory: defaultKeyFactory, KeyBits: 128, Iterations: 4096}
	if v := props["password.encoder.cipher.algorithm"]; v != "" {
		e.Cipher = v
	}
	if v := props["password.encoder.keyfactory.algorithm"]; v != "" {
		e.KeyFactory = v
	}
	for name, to := range map[string]*int{"password.encoder.key.length": &e.KeyBits, "password.encoder.iterations": &e.Iterations} {
		if v, ok := props[name]; ok {
			n, err := keys[name].parse(v)
			if err != nil {
				return e, err
			}
			*to, _ = strconv.Atoi(n)
		}
	}
	return e, e.check()
}

func (e PasswordEncoder) check() error {
	if e.Cipher != cipherCBC && e.Cipher != cipherGCM {
		return fmt.Errorf("password.encoder.cipher.algorithm %q: use %s or %s", e.Cipher, cipherCBC, cipherGCM)
	}
	if keyFactories[e.KeyFactory] == nil {
		return fmt.Errorf("password.encoder.keyfactory.algorithm %q: use %s", e.KeyFactory, defaultKeyFactory)
	}
	if e.KeyBits != 128 && e.KeyBits != 192 && e.KeyBits != 256 {
		return fmt.Errorf("password.encoder.key.length %d: AES has keys of 128, 192 or 256 bits", e.KeyBits)
	}
	return nil
}

func (e PasswordEncoder) block(salt []byte) (cipher.Block, error) {
	if e.Secret == "" {
		return nil, ErrNoSecret
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	key, err := pbkdf2.Key(keyFactories[e.KeyFactory], e.Secret, salt, e.Iterations, e.KeyBits/8)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

// Encode encrypts a password with a new salt.
func (e PasswordEncoder) Encode(password string) (string, error) {
	salt := make([]byte, passwordSaltBytes)
	rand.Read(salt) // never fails
	block, err := e.block(salt)
	if err != nil {
		return "", err
	}
	b64 := base64.StdEncoding.EncodeToString
	var iv, sealed []byte
	tag := ""
	if e.Cipher == cipherGCM {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return "", err
		}
		iv = make([]byte, gcm.NonceSize())
		rand.Read(iv) // never fails
		sealed, tag = gcm.Seal(nil, iv, []byte(password), nil), ",authenticationTagLength:"+strconv.Itoa(8*gcm.Overhead())
	} else {
		iv = make([]byte, aes.BlockSize)
		rand.Read(iv) // never fails
		pad := aes.BlockSize - len(password)%aes.BlockSize
		sealed = []byte(password + strings.Repeat(string(rune(pad)), pad))
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	}
	return fmt.Sprintf("encryptedPassword:%s,keyLength:%d,cipherAlgorithm:%s,initializationVector:%s,keyFactoryAlgorithm:%s,passwordLength:%d%s,salt:%s,iterations:%d",
		b64(sealed), e.KeyBits, e.Cipher, b64(iv), e.KeyFactory, javaLength(password), tag, b64(salt), e.Iterations), nil
}

var errUndecodable = errors.New("Password could not be decoded") // the text that people know

// Decode decrypts what Encode, or Kafka, made with the same secret; how it was made stands in it.
func (e PasswordEncoder) Decode(encoded string) (string, error) {
	p := make(map[string]string)
	for item := range strings.SplitSeq(encoded, ",") {
		if i := strings.LastIndexByte(item, ':'); i >= 0 {
			p[strings.TrimSpace(item[:i])] = strings.TrimSpace(item[i+1:])
		}
	}
	d := PasswordEncoder{Secret: e.Secret, Cipher: p["cipherAlgorithm"], KeyFactory: p["keyFactoryAlgorithm"]}
	var err1, err2, err3 error
	d.KeyBits, err1 = strconv.Atoi(p["keyLength"])
	d.Iterations, err2 = strconv.Atoi(p["iterations"])
	length, err3 := strconv.Atoi(p["passwordLength"])
	salt, err4 := base64.StdEncoding.DecodeString(p["salt"])
	iv, err5 := base64.StdEncoding.DecodeString(p["initializationVector"])
	sealed, err6 := base64.StdEncoding.DecodeString(p["encryptedPassword"])
	const mostIterations = 10_000_000 // seconds of work; Kafka's default is 4096
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil || d.Iterations < 1 || d.Iterations > mostIterations {
		return "", errUndecodable
	}
	block, err := d.block(salt)
	if err != nil {
		return "", err
	}
	var plain []byte
	if d.Cipher == cipherGCM {
		gcm, err := cipher.NewGCMWithNonceSize(block, max(len(iv), 1))
		if err != nil {
			return "", errUndecodable
		}
		if plain, err = gcm.Open(nil, iv, sealed, nil); err != nil {
			return "", errUndecodable
		}
	} else {
		if len(iv) != aes.BlockSize || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
			return "", errUndecodable
		}
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(sealed, sealed)
		pad := int(sealed[len(sealed)-1])
		if pad < 1 || pad > aes.BlockSize || pad > len(sealed) {
			return "", errUndecodable
		}
		plain = sealed[:len(sealed)-pad]
	}
	if javaLength(string(plain)) != length {
		return "", errUndecodable
	}
	return string(plain), nil
}

// javaLength is String.length: UTF-16 units.
func javaLength(s string) int { return len(utf16.Encode([]rune(s))) }
