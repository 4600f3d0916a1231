/* The other nine bakeries get their numbers. */
SELECT wa_assign_phone('corteza',   '100000000000002', '+34 600 00 00 02');
SELECT wa_assign_phone('alba',      '100000000000003', '+34 600 00 00 03');
SELECT wa_assign_phone('masalenta', '100000000000004', '+34 600 00 00 04');
SELECT wa_assign_phone('miga',      '100000000000005', '+34 600 00 00 05');
SELECT wa_assign_phone('levadura',  '100000000000006', '+34 600 00 00 06');
SELECT wa_assign_phone('artesa',    '100000000000007', '+34 600 00 00 07');
SELECT wa_assign_phone('harinas',   '100000000000008', '+34 600 00 00 08');
SELECT wa_assign_phone('luna',      '100000000000009', '+34 600 00 00 09');
SELECT wa_assign_phone('rosca',     '100000000000010', '+34 600 00 00 10');
