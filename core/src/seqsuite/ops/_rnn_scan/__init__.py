"""Sequential nonlinear cells with a recurrent matrix: LSTM, GRU, sLSTM."""
