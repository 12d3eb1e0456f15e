package serve

import (
	"context"
	"errors"
)

func (p *program) join(context.Context) (*uplink, error) { return nil, errors.New("x") }
