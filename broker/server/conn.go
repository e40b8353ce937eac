package server

type conn struct{}

type slot struct{}
