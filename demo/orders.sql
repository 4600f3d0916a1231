/*
 * A morning's work: every bakery orders from its suppliers.  Each statement is
 * a transaction of its own, as if thirty people pressed the button.
 */
SELECT place_order('trigal',    'TRI-2041', 'Harinas Molino de Mentira',  current_date + 2, '{"Harina de fuerza": 48, "Harina integral": 8}');
SELECT place_order('trigal',    'TRI-2042', 'Lácteos Valle Imaginario',   current_date + 1, '{"Mantequilla": 3, "Leche entera": 10}');
SELECT place_order('trigal',    'TRI-2043', 'Levaduras Burbuja',          current_date + 1, '{"Levadura fresca": 6}');
SELECT place_order('corteza',   'COR-0388', 'Harinas Piedra y Grano',     current_date + 3, '{"Harina de fuerza": 20, "Sémola de trigo duro": 5}');
SELECT place_order('corteza',   'COR-0389', 'Huevos La Gallina Azul',     current_date + 1, '{"Huevos camperos": 4}');
SELECT place_order('corteza',   'COR-0390', 'Azúcares Nube Dulce',        current_date + 4, '{"Azúcar blanquilla": 6, "Azúcar glas": 2}');
SELECT place_order('alba',      'ALB-1107', 'Harinas El Cuento Integral', current_date + 2, '{"Harina integral": 30}');
SELECT place_order('alba',      'ALB-1108', 'Aceites Olivar Soñado',      current_date + 5, '{"Aceite de oliva virgen": 4}');
SELECT place_order('alba',      'ALB-1109', 'Lácteos Vaca Lunar',         current_date + 1, '{"Mantequilla": 2}');
SELECT place_order('masalenta', 'MAS-0052', 'Harinas Siete Espigas',      current_date + 3, '{"Harina de fuerza": 15, "Harina integral": 15}');
SELECT place_order('masalenta', 'MAS-0053', 'Levaduras Paciencia',        current_date + 2, '{"Masa madre deshidratada": 3}');
SELECT place_order('masalenta', 'MAS-0054', 'Huevos Corral Fantasma',     current_date + 1, '{"Huevos camperos": 2}');
SELECT place_order('miga',      'MIG-7710', 'Harinas Molino de Papel',    current_date + 2, '{"Harina de fuerza": 60}');
SELECT place_order('miga',      'MIG-7711', 'Azúcares Terrón Feliz',      current_date + 2, '{"Azúcar glas": 8}');
SELECT place_order('miga',      'MIG-7712', 'Lácteos Prado Inventado',    current_date + 1, '{"Leche entera": 20}');
SELECT place_order('levadura',  'LEV-0911', 'Levaduras Madre Eterna',     current_date + 1, '{"Levadura fresca": 10, "Masa madre deshidratada": 2}');
SELECT place_order('levadura',  'LEV-0912', 'Harinas Centeno Gris',       current_date + 3, '{"Harina integral": 12}');
SELECT place_order('levadura',  'LEV-0913', 'Aceites Gota Verde',         current_date + 6, '{"Aceite de oliva virgen": 2}');
SELECT place_order('artesa',    'ART-0301', 'Harinas La Era Perdida',     current_date + 2, '{"Harina de fuerza": 10}');
SELECT place_order('artesa',    'ART-0302', 'Huevos Docena y Media',      current_date + 1, '{"Huevos camperos": 3}');
SELECT place_order('artesa',    'ART-0303', 'Azúcares Caña Blanca',       current_date + 4, '{"Azúcar blanquilla": 4}');
SELECT place_order('harinas',   'HAR-5005', 'Harinas Trigo Valiente',     current_date + 2, '{"Harina de fuerza": 25, "Harina integral": 10, "Sémola de trigo duro": 4}');
SELECT place_order('harinas',   'HAR-5006', 'Lácteos Nata Nueva',         current_date + 1, '{"Mantequilla": 5}');
SELECT place_order('harinas',   'HAR-5007', 'Levaduras Espuma',           current_date + 1, '{"Levadura fresca": 4}');
SELECT place_order('luna',      'LUN-0120', 'Harinas Eclipse',            current_date + 3, '{"Harina de fuerza": 18}');
SELECT place_order('luna',      'LUN-0121', 'Aceites Aceituna Errante',   current_date + 5, '{"Aceite de oliva virgen": 6}');
SELECT place_order('luna',      'LUN-0122', 'Huevos Yema de Sol',         current_date + 1, '{"Huevos camperos": 5}');
SELECT place_order('rosca',     'ROS-3300', 'Harinas Campo de Tinta',     current_date + 2, '{"Harina de fuerza": 22, "Sémola de trigo duro": 6}');
SELECT place_order('rosca',     'ROS-3301', 'Azúcares Miel de Cuento',    current_date + 3, '{"Azúcar blanquilla": 9}');
SELECT place_order('rosca',     'ROS-3302', 'Lácteos Queso de Luna',      current_date + 1, '{"Mantequilla": 2, "Leche entera": 6}');
