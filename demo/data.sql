/*
 * Ten bakeries with three suppliers each, and what those sell.  Names and
 * phone numbers are invented; the numbers are written in the various ways
 * in which people write them.
 */
INSERT INTO bakeries (bakery_id, name, town) VALUES
    ('trigal',    'Panadería El Trigal Inventado', 'Valladolid'),
    ('corteza',   'Obrador La Corteza Crujiente',  'León'),
    ('alba',      'Horno del Alba Temprana',       'Burgos'),
    ('masalenta', 'Panadería Masa Lenta',          'Segovia'),
    ('miga',      'Panadería Miga de Oro',         'Zamora'),
    ('levadura',  'Tahona Doña Levadura',          'Salamanca'),
    ('artesa',    'Horno La Artesa Vieja',         'Palencia'),
    ('harinas',   'Tahona Las Tres Harinas',       'Ávila'),
    ('luna',      'Obrador Pan y Luna',            'Soria'),
    ('rosca',     'Panadería La Rosca Feliz',      'Logroño');

INSERT INTO suppliers (bakery_id, name, supplies, whatsapp) VALUES
    ('trigal',    'Harinas Molino de Mentira',  'harina',   '+34 600 000 101'),
    ('trigal',    'Lácteos Valle Imaginario',   'lácteos',  '+34 600 000 102'),
    ('trigal',    'Levaduras Burbuja',          'levadura', '+34 600 000 103'),
    ('corteza',   'Harinas Piedra y Grano',     'harina',   '+34600000104'),
    ('corteza',   'Huevos La Gallina Azul',     'huevos',   '+34 600-000-105'),
    ('corteza',   'Azúcares Nube Dulce',        'azúcar',   '+34 600 000 106'),
    ('alba',      'Harinas El Cuento Integral', 'harina',   '(+34) 600 000 107'),
    ('alba',      'Aceites Olivar Soñado',      'aceite',   '+34 600 000 108'),
    ('alba',      'Lácteos Vaca Lunar',         'lácteos',  '+34 600 000 109'),
    ('masalenta', 'Harinas Siete Espigas',      'harina',   '+34 600 000 110'),
    ('masalenta', 'Levaduras Paciencia',        'levadura', '+34 600 000 111'),
    ('masalenta', 'Huevos Corral Fantasma',     'huevos',   '+34 600 000 112'),
    ('miga',      'Harinas Molino de Papel',    'harina',   '+34 600 000 113'),
    ('miga',      'Azúcares Terrón Feliz',      'azúcar',   '+34 (600) 000-114'),
    ('miga',      'Lácteos Prado Inventado',    'lácteos',  '+34 600 000 115'),
    ('levadura',  'Levaduras Madre Eterna',     'levadura', '+34 600 000 116'),
    ('levadura',  'Harinas Centeno Gris',       'harina',   '+34 600 000 117'),
    ('levadura',  'Aceites Gota Verde',         'aceite',   '+34 600 000 118'),
    ('artesa',    'Harinas La Era Perdida',     'harina',   '+34 600 000 119'),
    ('artesa',    'Huevos Docena y Media',      'huevos',   '+34 600 000 120'),
    ('artesa',    'Azúcares Caña Blanca',       'azúcar',   '+34 600 000 121'),
    ('harinas',   'Harinas Trigo Valiente',     'harina',   '+34 600 000 122'),
    ('harinas',   'Lácteos Nata Nueva',         'lácteos',  '+34 600 000 123'),
    ('harinas',   'Levaduras Espuma',           'levadura', '+34 600 000 124'),
    ('luna',      'Harinas Eclipse',            'harina',   '+34 600 000 125'),
    ('luna',      'Aceites Aceituna Errante',   'aceite',   '+34 600 000 126'),
    ('luna',      'Huevos Yema de Sol',         'huevos',   '+34 600 000 127'),
    ('rosca',     'Harinas Campo de Tinta',     'harina',   '+34 600 000 128'),
    ('rosca',     'Azúcares Miel de Cuento',    'azúcar',   '+34 600 000 129'),
    ('rosca',     'Lácteos Queso de Luna',      'lácteos',  '+34 600 000 130'),
    /* written as people do at home: without the country code */
    ('rosca',     'Levaduras Sin Prefijo',      'levadura', '600 000 131');

INSERT INTO products (bakery_id, supplier_id, name, unit, unit_price)
SELECT s.bakery_id, s.supplier_id, c.name, c.unit, c.unit_price
FROM suppliers s
JOIN (VALUES
    ('harina',   'Harina de fuerza',       'saco de 25 kg',   21.40),
    ('harina',   'Harina integral',        'saco de 25 kg',   24.90),
    ('harina',   'Sémola de trigo duro',   'saco de 10 kg',   13.75),
    ('lácteos',  'Mantequilla',            'caja de 10 kg',   78.00),
    ('lácteos',  'Leche entera',           'caja de 12 l',    11.88),
    ('levadura', 'Levadura fresca',        'caja de 5 kg',    14.50),
    ('levadura', 'Masa madre deshidratada','saco de 5 kg',    32.20),
    ('huevos',   'Huevos camperos',        'caja de 180',     39.60),
    ('azúcar',   'Azúcar blanquilla',      'saco de 25 kg',   27.30),
    ('azúcar',   'Azúcar glas',            'saco de 10 kg',   16.95),
    ('aceite',   'Aceite de oliva virgen', 'garrafa de 5 l',  41.25)
) AS c (supplies, name, unit, unit_price) USING (supplies);
